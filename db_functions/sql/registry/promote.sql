create or replace function ml.promote(version text, reason text, force boolean default false)
    returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    model     record;
    champion  integer;
    faults    text[];
begin
    if coalesce(reason, '') !~ '[^[:space:]]' then
        raise exception 'promoting % needs a reason', version using errcode = 'ML002';
    end if;
    -- The gates look at thousands of rows: before the lock, for which scorers wait.
    select c.model_id into champion from ml_internal.champion c;
    if exists (select from ml.models m where m.version = promote.version) then
        faults := ml_internal.failed_gates(version);
    end if;
    perform ml_internal.close_gate();
    select m.* into model from ml.models m where m.version = promote.version;
    if not found then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    if exists (select from ml_internal.champion c where c.model_id = model.id) then
        return version;
    end if;
    if model.retired_at is not null then
        raise exception 'model % was not promoted: it was retired at % by %: %',
            version, model.retired_at, model.retired_by, model.retired_reason
            using errcode = 'ML002',
                  hint = 'Retirement is for good; register the file '
                         'under a new version to use it again.';
    end if;
    if champion is distinct from (select c.model_id from ml_internal.champion c) then
        -- Another promotion came first, and the comparison was with another champion.
        faults := ml_internal.failed_gates(version);
    end if;
    if cardinality(faults) > 0 and force is not true then
        raise exception 'model % was not promoted: %', version, array_to_string(faults, '; ')
            using errcode = 'ML002',
                  hint = 'ml.challenge(version, share, canary, reason) gathers what is '
                         'missing; force => true promotes all the same, and is recorded.';
    end if;
    if model.label_horizon <> (select s.label_horizon from ml.settings s) then
        raise warning 'model % was made for a label_horizon of % bars, the setting says %: its '
                      'probabilities are of '
                      'another question than the labels answer', version, model.label_horizon,
                      (select s.label_horizon from ml.settings s);
    end if;
    perform ml_internal.set_champion(model.id, 'promote', cardinality(faults) > 0, reason);
    return version;
end
$$;
comment on function ml.promote(text, text, boolean) is
    'Makes a registered model the champion, if it passes its gates; workers swap at once';
