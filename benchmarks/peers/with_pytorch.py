"""PyTorch: the Gram matrix by torch.func, Local GD by a plain loop, one large product."""

import sys

import torch
from serving import Moved, serve
from torch.func import functional_call, jacrev, jvp, vjp, vmap

torch.set_float32_matmul_precision("highest")


class TwoLayer(torch.nn.Module):
    """f = m^{-1/2} Σ a_r σ(w_r·x)."""

    def __init__(self, arrays):
        super().__init__()
        self.trained = torch.nn.ParameterList([torch.nn.Parameter(torch.from_numpy(arrays["weights"]))])
        signs = torch.from_numpy(arrays["signs"])
        self.register_buffer("signs", signs / len(signs) ** 0.5)

    def forward(self, x):
        return torch.relu(x @ self.trained[0].T) @ self.signs


class Deep(torch.nn.Module):
    """f = V σ(W_L … σ(W_1 σ(A x)))."""

    def __init__(self, arrays):
        super().__init__()
        hidden = [arrays[f"hidden_{layer}"] for layer in range(sum(name.startswith("hidden_") for name in arrays))]
        self.trained = torch.nn.ParameterList([torch.nn.Parameter(torch.from_numpy(w)) for w in hidden])
        self.register_buffer("first", torch.from_numpy(arrays["input_weights"]))
        self.register_buffer("last", torch.from_numpy(arrays["output_weights"])[0])

    def forward(self, x):
        h = torch.relu(x @ self.first.T)
        for weights in self.trained:
            h = torch.relu(h @ weights.T)
        return h @ self.last


def model(arrays):
    return (TwoLayer if "signs" in arrays else Deep)(arrays)


def gram(arrays, settings):
    """As in PyTorch's own tutorial on neural tangent kernels: per-sample Jacobians, or NTK-vector products."""
    net, x = model(arrays), torch.from_numpy(arrays["x"])
    weights = {name: value.detach() for name, value in net.named_parameters()}

    def output(weights, sample):
        return functional_call(net, weights, (sample[None],))[0]

    def by_jacobian():
        jacobian = vmap(jacrev(output), (None, 0))(weights, x)
        return sum(j.flatten(1) @ j.flatten(1).T for j in jacobian.values()).numpy()

    def by_products():
        def entry(a, b):
            _, pull = vjp(lambda w: output(w, a), weights)
            return jvp(lambda w: output(w, b), (weights,), pull(torch.ones(())))[1]

        # One row at a time: all at once would hold every pair's weights.
        return torch.stack([vmap(entry, (None, 0))(a, x) for a in x]).numpy()

    return {"jacobian": by_jacobian, "products": by_products}[settings["method"]]


def local_gd(arrays, settings):
    """Rounds of full-batch local steps by autograd and torch.optim.SGD, then the mean of the clients' weights."""
    net = model(arrays)
    x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    parts = list(zip(x.chunk(settings["num_clients"]), y.chunk(settings["num_clients"]), strict=True))
    start = [w.detach().clone() for w in net.trained]
    optimizer = torch.optim.SGD(net.trained, lr=settings["step_size"])

    def route():
        average = [w.clone() for w in start]
        for _ in range(settings["num_rounds"]):
            total = [torch.zeros_like(w) for w in average]
            for inputs, targets in parts:
                with torch.no_grad():
                    for w, a in zip(net.trained, average, strict=True):
                        w.copy_(a)
                local_steps(net, optimizer, inputs, targets, settings["local_steps"])
                with torch.no_grad():
                    for t, w in zip(total, net.trained, strict=True):
                        t.add_(w)
            average = [t.div_(len(parts)) for t in total]
        return Moved(average, start)

    return route


def local_steps(net, optimizer, inputs, targets, count):
    """Full-batch gradient steps on ½ Σ (f − y)²."""
    for _ in range(count):
        optimizer.zero_grad(set_to_none=True)
        loss = ((net(inputs) - targets) ** 2).sum() / 2
        loss.backward()
        optimizer.step()


def product(arrays, settings):
    square = torch.randn(settings["size"], settings["size"])
    return lambda: (square @ square).numpy()


if __name__ == "__main__":
    sys.exit(serve({"gram": gram, "local_gd": local_gd, "product": product}))
