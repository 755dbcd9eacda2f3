-- A weight that a person or the environment sets is obeyed to the letter. Where weights were
-- learned until then, the other one becomes what is left of 1: a learned weight beside a set one
-- would mean nothing.
create function ml_internal.fix_weights(
    setting text, value double precision, reason text, origin text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    other  constant text := case setting when 'ml_weight' then 'rule_weight' else 'ml_weight' end;
begin
    if (select s.weights from ml.settings s) = 'fixed' then
        return;
    end if;
    -- First, so that the change of the other weight finds them fixed.
    perform ml_internal.change_setting('weights', 'fixed', reason, origin);
    perform ml_internal.change_setting(other, (1 - value::numeric)::text,
                                       format('the rest of %s', setting), origin);
end
$$;
comment on function ml_internal.fix_weights(text, double precision, text, text) is
    'Internal: after one weight was set, makes the weights fixed and gives the other the rest of 1';
