"""What theorems ask for beside what runs need."""
