select ml_internal.page_json()
