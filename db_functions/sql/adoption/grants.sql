-- Who may do what with the application's tables, and which upgrade this database has had, which is
-- no secret.
grant usage on schema public to ml_owner, ml_app, ml_worker, ml_analyst, ml_publisher, ml_operator;
grant select, update on public.pattern_events to ml_owner;
grant select on public.price_bars to ml_owner;

grant select, insert, update, delete on public.pattern_events to ml_app;
grant select, insert on public.pattern_lifecycle_history to ml_app;
grant select, insert, update, delete on public.price_bars to ml_app;

grant select on public.pattern_events, public.price_bars to ml_worker;
grant select on public.pattern_events, public.price_bars, public.pattern_lifecycle_history
    to ml_analyst, ml_publisher, ml_operator;
grant select on public.ml_alembic_version to ml_worker, ml_analyst, ml_publisher, ml_operator;
