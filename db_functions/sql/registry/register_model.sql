create or replace function ml_internal.register_model(
    version text, algorithm text, onnx bytea, contract_version integer, inputs text[],
    outputs text[], feature_names text[], min_bars integer, metrics jsonb, model_card text,
    toolchain jsonb, drift_baseline jsonb, golden bytea) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    new_id  integer;
    taken   record;
begin
    if version is null or version !~ '^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$' then
        raise exception 'version is "%"; allowed: up to 100 letters, digits and . _ + -, '
                        'a letter or digit first', version
            using errcode = 'ML005';
    end if;
    -- Two jobs may register one version at the same moment: the second waits here and finds the
    -- first's row.
    insert into ml.models (version, algorithm, onnx, sha256, contract_version, inputs, outputs,
                           feature_names, min_bars, metrics, model_card, toolchain,
                           drift_baseline, golden, created_by)
    values (version, algorithm, onnx, encode(sha256(onnx), 'hex'), contract_version, inputs,
            outputs, feature_names, min_bars, metrics, model_card, toolchain, drift_baseline,
            golden, session_user)
    on conflict on constraint models_version_key do nothing
    returning id into new_id;
    if found then
        perform ml_internal.freeze_bins(new_id);
        return new_id;
    end if;
    -- The same file again is no error: a training job may be repeated.
    select m.id, m.sha256, m.created_at into taken from ml.models m
    where m.version = register_model.version;
    if taken.sha256 = encode(sha256(onnx), 'hex') then
        return taken.id;
    end if;
    raise exception 'version % was registered at % with another file', version, taken.created_at
        using errcode = 'ML005', hint = 'Give the new file a version of its own.';
end
$$;
comment on function ml_internal.register_model(text, text, bytea, integer, text[], text[], text[],
                                               integer, jsonb, text, jsonb, jsonb, bytea) is
    'Adds a model to the registry and freezes its bins; '
    'training checks it against the contract first';
