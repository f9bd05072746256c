import shutil

import pytest


@pytest.fixture(scope="session")
def kubectl(need):
    return need("kubectl", shutil.which("kubectl"), "install kubectl 1.32 or newer")
