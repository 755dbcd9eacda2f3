-- A task of upkeep failed, or (no error) works again.
select ml_internal.note_task(%(task)s, %(error)s)
