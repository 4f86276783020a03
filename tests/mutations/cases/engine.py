"""The engine: leases, chunks, workers that are lost."""

from tests.mutations.mutation import Mutation

_DIR = "verification/engine"
_LEASES, _WORKERS = "tests/verification/test_leases.py", "tests/verification/test_workers.py"
_CLUSTER = "tests/verification/test_cluster.py"

MUTATIONS = (
    Mutation(
        f"{_DIR}/worker.py",
        'elif (mine := os.environ.get("XLA_FLAGS", "")) != flags:',
        "elif (mine := flags) != flags:",
        "a worker that compiles otherwise stores results under the client's names",
        (f"{_WORKERS}::test_a_worker_compiles_as_the_client_or_is_refused",),
    ),
    Mutation(
        f"{_DIR}/leases.py",
        "os.O_CREAT | os.O_EXCL | os.O_WRONLY",
        "os.O_CREAT | os.O_WRONLY",
        "two sweeps hold one job",
        (f"{_LEASES}::test_a_job_is_one_sweeps_until_it_gives_it_back",),
    ),
    Mutation(
        f"{_DIR}/leases.py",
        "not (is_alive(int(pid)) and _begun(int(pid)) == begun)",
        "not is_alive(int(pid))",
        "a process that has a dead owner's number keeps its lease",
        (f"{_LEASES}::test_a_number_that_another_process_has_now_does_not_keep_a_lease",),
    ),
    Mutation(
        f"{_DIR}/leases.py",
        "                if self._is_left(left):",
        "                if True:",
        "a late one takes over what others have given back and taken",
        (f"{_LEASES}::test_who_comes_late_to_a_left_lease_takes_nothing_from_those_who_came_meanwhile",),
    ),
    Mutation(
        f"{_DIR}/leases.py",
        "                    os.utime(self._path(name, generation))",
        "                    self._path(name, generation).stat()",
        "long jobs lose their lease to another machine",
        (f"{_LEASES}::test_a_lease_of_another_machine_expires_when_it_shows_no_sign_of_life",),
    ),
    Mutation(
        f"{_DIR}/leases.py",
        "return time.monotonic() - since > self._expiry",
        "return False",
        "a dead machine's jobs wait for ever",
        (f"{_LEASES}::test_a_lease_of_another_machine_expires_when_it_shows_no_sign_of_life",),
    ),
    Mutation(
        f"{_DIR}/computing.py",
        "if self.strikes[job] < _ATTEMPTS:",
        "if self.strikes[job] < 2:",
        "a job is given up too early",
        (f"{_WORKERS}::test_a_killed_worker_s_job_is_tried_again_and_one_that_always_kills_is_named",),
    ),
    Mutation(
        f"{_DIR}/computing.py",
        "            raise done.error",
        "            self._give_up(job, done.error, done.trace)",
        "a full disk is computed on in vain",
        (f"{_WORKERS}::test_a_full_disk_ends_the_sweep_in_one_sentence",),
    ),
    Mutation(
        f"{_DIR}/chunks.py",
        "isinstance(value, float) or",
        "isinstance(value, int | float) or",
        "jobs of other widths count as alike",
        (f"{_WORKERS}::test_shapes_depend_on_widths_and_not_on_seeds_or_step_sizes",),
    ),
    Mutation(
        f"{_DIR}/chunks.py",
        "math.ceil(waiting / (2 * self._workers))",
        "waiting",
        "the last chunk keeps one worker busy and the others idle",
        (f"{_WORKERS}::test_chunks_hold_one_shape_grow_with_what_is_known_and_leave_something_for_all",),
    ),
    Mutation(
        f"{_DIR}/worker.py",
        "if differing := [name for name, version in (wanted.versions or {}).items() if mine.get(name) != version]:",
        "if differing := []:",
        "results of other libraries stand under this one's names",
        (f"{_WORKERS}::test_other_versions_are_refused_and_flags_are_the_client_s",),
    ),
    Mutation(
        f"{_DIR}/worker.py",
        "(device := _device(wanted.device)) != wanted.device:",
        "(device := _device(wanted.device)) == 1:",
        "results of another device stand under this one's names",
        (f"{_WORKERS}::test_other_versions_are_refused_and_flags_are_the_client_s",),
    ),
    Mutation(
        f"{_DIR}/workers.py",
        "each = max(1, len(cores) // number)",
        "each = len(cores)",
        "workers stand on each other's cores",
        (f"{_WORKERS}::test_cores_are_shared_out_evenly_and_gpus_in_turn",),
    ),
    Mutation(
        f"{_DIR}/cluster.py",
        'options["worker_extra_args"] += ["--host", _LOOPBACK]',
        'options["worker_extra_args"] += []',
        "workers listen on every network",
        (f"{_CLUSTER}::test_workers_listen_on_loopback_where_the_scheduler_does",),
    ),
    Mutation(
        f"{_DIR}/cluster.py",
        "if type(value) is not _KEYS[name]:",
        "if value is None:",
        "a configuration's mistake is found by Slurm",
        (f"{_CLUSTER}::test_a_configuration_is_checked_before_anything_is_asked_for",),
    ),
    Mutation(
        f"{_DIR}/executors.py",
        'if (config is not None) != (cluster == "slurm"):',
        'if config is None and cluster == "slurm":',
        "a configuration without slurm is ignored",
        (f"{_CLUSTER}::test_bad_options_are_one_sentence",),
    ),
    Mutation(
        f"{_DIR}/plan.py",
        "layers = 4 * width * inputs + 6 * width**2",
        "layers = 4 * width * inputs + 4 * width**2",
        "a deep network's gradient for two thirds of its price",
        ("tests/verification/test_plan.py::test_operations_are_those_of_the_gradients",),
    ),
    Mutation(
        f"{_DIR}/plan.py",
        "open_jobs = [plain(job) for job in own if job not in there]",
        "open_jobs = [plain(job) for job in own]",
        "what is stored is paid for twice",
        ("tests/verification/test_plan.py::test_what_is_stored_is_counted_and_the_rest_is_estimated_from_like_jobs",),
    ),
    Mutation(
        f"{_DIR}/grid.py",
        "for each in itertools.product(*varied.values())]",
        "for each in zip(*varied.values())]",
        "a grid is walked along its diagonal",
        ("tests/verification/test_grid.py::test_every_combination_stands_at_its_label",),
    ),
    Mutation(
        f"{_DIR}/leases.py",
        "                        if self._is_gone(path):\n                            path.unlink()",
        "                        self._is_gone(path)",
        "leases of the dead stay for ever",
        (f"{_LEASES}::test_what_the_dead_have_left_on_stored_results_is_swept_up",),
    ),
)
