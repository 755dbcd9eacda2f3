"""What people run beside a worker: backfill, doctor, and the commands that change the system."""
