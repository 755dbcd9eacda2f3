-- BEFORE triggers fire in order of name; the blend sees what intake and guard made of the row.
create trigger ml_1_intake before insert on public.pattern_events
    for each row execute function ml.intake_pattern();
create trigger ml_1_guard before update on public.pattern_events
    for each row execute function ml.guard_pattern();
create trigger ml_2_blend before update on public.pattern_events
    for each row when (
        new.rule_confidence is distinct from old.rule_confidence
        or new.ml_confidence is distinct from old.ml_confidence
        or new.ml_metadata is distinct from old.ml_metadata)
    execute function ml.blend_pattern();
create trigger ml_enqueue after insert on public.pattern_events
    referencing new table as inserted
    for each statement execute function ml.enqueue_patterns();
