create or replace function ml.challenge(
    version text, share double precision, canary double precision, reason text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    model   record;
    parity  record;
    others  record;
    at      timestamptz;
begin
    if coalesce(reason, '') !~ '[^[:space:]]' then
        raise exception 'challenging with % needs a reason', version using errcode = 'ML002';
    end if;
    if share is null or canary is null or not (share between 0 and 1)
        or not (canary between 0 and share) then
        raise exception 'a challenger cannot score % of the rows and serve %', share, canary
            using errcode = 'ML002',
                  hint = 'Allowed: a share of 0 to 1, a canary of 0 to the '
                         'share; a share of 0 ends the challenge.';
    end if;
    -- As for a promotion: no batch is being written meanwhile.
    perform ml_internal.require_read_committed();
    perform ml_internal.close_gate();
    select m.* into model from ml.models m where m.version = challenge.version;
    if not found then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    select greatest(clock_timestamp(), max(a.valid_from)) into at from ml.aliases a
    where a.alias = 'challenger';
    update ml.aliases a set valid_to = at
    where a.alias = 'challenger' and a.valid_to is null and a.model_id = model.id;
    if share = 0 then
        if not found then
            raise exception 'model % is no challenger', version using errcode = 'ML002';
        end if;
        perform ml_internal.notify('ml_model', version);
        perform ml_internal.ring();
        return version;
    end if;

    if model.retired_at is not null then
        raise exception 'model % cannot challenge: it was retired at % by %: %',
            version, model.retired_at, model.retired_by, model.retired_reason
            using errcode = 'ML002',
                  hint = 'Retirement is for good; register the file '
                         'under a new version to use it again.';
    end if;
    if exists (select from ml_internal.champion c where c.model_id = model.id) then
        raise exception 'model % is the champion and cannot challenge itself', version
            using errcode = 'ML002';
    end if;
    select p.* into parity from ml_internal.deciding_parity p where p.model_id = model.id;
    if not found or not parity.passed then
        raise exception 'model % cannot challenge: its newest parity check did not pass', version
            using errcode = 'ML002',
                  hint = 'Register a file that answers as the model that it was made from.';
    end if;
    select count(*) as n, coalesce(sum(c.canary), 0) as canary into others
    from ml_internal.challengers c;
    -- Each costs every batch its own time, which the rows wait for.
    if others.n >= 4 then
        raise exception 'model % cannot challenge: four models challenge already', version
            using errcode = 'ML002', hint = 'End one with ml.challenge(version, 0, 0, reason).';
    end if;
    if others.canary + canary > 1 then
        raise exception 'model % cannot serve % of the rows: other challengers serve %', version,
            canary, others.canary
            using errcode = 'ML002', hint = 'Canaries of all challengers together are 1 at most.';
    end if;
    insert into ml.aliases (alias, model_id, cause, share, canary, valid_from, set_by, reason)
    values ('challenger', model.id, 'challenge', share, canary, at, session_user, reason);
    perform ml_internal.notify('ml_model', version);
    perform ml_internal.ring();
    return version;
end
$$;
comment on function ml.challenge(text, double precision, double precision, text) is
    'Lets a model score a share of the rows beside the champion, and '
    'serve a smaller share as a canary; a share of 0 ends it';
