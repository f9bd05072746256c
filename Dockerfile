# The image of the function: Python, krm_fn, pydantic and PyYAML. It runs as
# nobody, without a network, on a read-only file system.
#
#     docker build -t localhost/krm-fn:v0.1.0 .
#
# Where the base image cannot be pulled, name another that has python3 and pip:
#     --build-arg BASE=...
# Where the build has no network, put the wheels of the dependencies and of the
# build backend into wheels/ and add:
#     --build-arg PIP_NO_INDEX=1
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
ARG PIP_NO_INDEX
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_FIND_LINKS=wheels
WORKDIR /src
# The dependencies have a layer of their own, which a change of the code keeps.
COPY pyproject.toml wheels* wheels/
RUN python3 -c 'import tomllib; print("\n".join(tomllib.load(open("wheels/pyproject.toml", "rb"))["project"]["dependencies"]))' >requirements.txt && \
    python3 -m pip install --no-compile --target /app -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY krm_fn krm_fn
RUN python3 -m pip install --no-compile --target /app --no-deps . && \
    rm -rf /app/bin && \
    printf 'from krm_fn.__main__ import main\n\nraise SystemExit(main())\n' >/app/__main__.py && \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /app

FROM ${BASE}
# Nobody can write byte code at run time, and some base images come without it.
RUN python3 -m compileall -q -j 0 -x '/(test|tests|idlelib|lib2to3|ensurepip|site-packages|dist-packages)/' \
    "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /app /app
ENV HF_HOME=/tmp XDG_CACHE_HOME=/tmp TMPDIR=/tmp
USER 65534:65534
# A folder as the script is the whole path of an isolated interpreter that skips
# site: nothing of the environment or the base image gets in, and it starts faster.
ENTRYPOINT ["python3", "-I", "-S", "-B", "/app"]
