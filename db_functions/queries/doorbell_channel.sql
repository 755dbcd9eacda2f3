select d.channel from ml_internal.doorbell d
