-- Models that were registered before there were bins.
do $$
declare
    model integer;
begin
    for model in select id from ml.models order by id loop
        perform ml.freeze_bins(model);
    end loop;
end
$$;
