-- Internal: the champion changes while no score is being written, so that every score's model is
-- the champion of its moment.
create or replace function ml_internal.set_champion(
    model_id integer, cause text, forced boolean, reason text, restores bigint default null)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    at       timestamptz;
    version  text;
begin
    perform ml_internal.close_gate();
    -- Never before the last change, whatever the clock did meanwhile.
    select greatest(clock_timestamp(), max(a.valid_from)) into at
    from ml.aliases a where a.alias = 'champion';
    update ml.aliases a set valid_to = at where a.alias = 'champion' and a.valid_to is null;
    -- It need not challenge itself.
    update ml.aliases a set valid_to = greatest(at, a.valid_from)
    where a.alias = 'challenger' and a.valid_to is null and a.model_id = set_champion.model_id;
    insert into ml.aliases (alias, model_id, cause, forced, restores, valid_from, set_by, reason)
    values ('champion', model_id, cause, forced, restores, at, session_user, reason);
    select m.version into version from ml.models m where m.id = model_id;
    perform ml_internal.learn_weights(format('%s is the champion now', version));
    perform ml_internal.notify('ml_model', version);
    perform ml_internal.ring();
end
$$;
comment on function ml_internal.set_champion(integer, text, boolean, text, bigint) is
    'Internal: gives the champion alias to a model';
