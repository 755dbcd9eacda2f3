-- Learned weights begin with what the champion's forward folds ask for, and move when rows that it
-- has not seen surely ask for another. The model alone is the prior, worth 20 rows as in
-- training.blend. Asked once a day: at 99 % a weight that is right is moved once in a hundred.
create function ml_internal.renew_weights() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    champion  record;
    best      record;
    learned   double precision;
    s         record;
begin
    -- Every worker asks; one of them does it.
    perform from ml_internal.schedule c
    where c.task = 'renew_weights' and c.ran_at <= clock_timestamp() - interval '1 day'
    for update skip locked;
    if not found then
        return 0;
    end if;
    update ml_internal.schedule set ran_at = clock_timestamp() where task = 'renew_weights';
    select v.weights, v.ml_weight, v.label_min_rows into strict s from ml.settings v;
    select c.model_id, c.version into champion from ml_internal.champion c;
    if not found or s.weights <> 'learned' then
        return 0;
    end if;
    select * into best from ml_internal.best_weight(champion.model_id);
    learned := round((best.ml_weight + 20 * (1 - best.ml_weight) / (best.rows + 20))::numeric, 4);
    if best.rows >= s.label_min_rows and best.blocks >= 5
       and abs(learned - s.ml_weight)
           > ml_internal.t_quantile(0.995, best.blocks - 1) * best.standard_error
    then
        return ml_internal.take_weight(learned, format(
            'unseen outcomes moved it surely (%s: %s of the weight on %s rows in %s blocks, '
            'standard error %s)', champion.version, round(best.ml_weight::numeric, 3), best.rows,
            best.blocks, round(best.standard_error::numeric, 3)))::integer;
    end if;
    return 0;
end
$$;
comment on function ml_internal.renew_weights() is
    'Moves learned weights to what unseen outcomes surely ask for; returns whether it did (1 or 0)';
