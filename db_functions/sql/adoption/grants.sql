-- Who may do what with the application's tables, and which upgrade this database has had, which is
-- no secret.
grant usage on schema public
    to ml_owner, ml_writer, ml_app, ml_worker, ml_analyst, ml_publisher, ml_operator;
grant select on public.pattern_events to ml_owner, ml_writer;
-- All that ml_writer may do, as whom an application's own triggers run when the system writes.
grant update (ml_confidence, blended_confidence, prediction_class, model_version, scored_at,
              prediction_latency_ms, ml_metadata, outcome_label, outcome_at, realized_pnl,
              max_favorable_move, max_adverse_move, bars_to_outcome, labeled_at, labeling_method)
    on public.pattern_events to ml_writer;
grant select on public.price_bars to ml_owner;

grant select, insert, update, delete on public.pattern_events to ml_app;
grant select, insert on public.pattern_lifecycle_history to ml_app;
grant select, insert, update, delete on public.price_bars to ml_app;

grant select on public.pattern_events, public.price_bars to ml_worker;
grant select on public.pattern_events, public.price_bars, public.pattern_lifecycle_history
    to ml_analyst, ml_publisher, ml_operator;
grant select on public.ml_alembic_version to ml_worker, ml_analyst, ml_publisher, ml_operator;
