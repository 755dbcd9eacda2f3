-- As workers of the first release call it; they know nothing of the counts of features.
create or replace function ml.write_scores(
    champion        integer,
    model           integer,
    queue_ids       bigint[],
    enqueued_at     timestamptz[],
    pattern_ids     uuid[],
    reasons         text[],
    ml_confidence   real[],
    probabilities   real[],
    quality         real[],
    bars            smallint[],
    features        real[],
    history         double precision[],
    input_hashes    bytea[],
    inference_ms    real,
    rescore         boolean,
    worker          bigint) returns integer
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select cardinality(pattern_ids) - coalesce(cardinality(b.skipped), 0)
    from ml.write_batch(case when model <> champion then 'standby' else 'champion' end, champion, model, queue_ids,
                        enqueued_at, pattern_ids, reasons, ml_confidence, probabilities, quality, bars, features, history, input_hashes, inference_ms, 0, 0, rescore, worker) b
$$;
comment on function ml.write_scores(integer, integer, bigint[], timestamptz[], uuid[], text[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real, boolean, bigint) is
    'Of workers of the first release: ml.write_batch without counts of features';
