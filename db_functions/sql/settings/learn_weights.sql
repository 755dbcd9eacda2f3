-- Learned weights are those of the champion's own evidence, on rows that it has not seen: metrics
-- -> 'weights', by training.blend, with the model at 1 as the prior. A model without such evidence
-- stands alone.
create function ml_internal.learn_weights(reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    champion  record;
    learned   double precision;
    evidence  text;
begin
    select m.version, m.metrics -> 'weights' as weights into champion
    from ml_internal.champion c join ml.models m on m.id = c.model_id;
    if not found or (select s.weights from ml.settings s) <> 'learned' then
        return;
    end if;
    learned := case when jsonb_typeof(champion.weights -> 'ml_weight') = 'number' then
        greatest(0, least(1, (champion.weights ->> 'ml_weight')::double precision)) else 1 end;
    evidence := case when champion.weights is null then
            format('%s brings no evidence of what the rule confidence is worth beside it',
                   champion.version)
        else format('%s: %s of the weight on %s rows of %s, standard error %s',
                    champion.version, round(learned::numeric, 3),
                    champion.weights ->> 'rows', champion.weights ->> 'measured_on',
                    round((champion.weights ->> 'standard_error')::numeric, 3)) end;
    perform ml_internal.take_weight(learned, reason || ' (' || evidence || ')');
end
$$;
comment on function ml_internal.learn_weights(text) is
    'Internal: while weights are learned, takes those of the champion, and keeps the evidence in '
    'ml.settings_history';
