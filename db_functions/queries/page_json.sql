select ml.page_json()
