# kvs: one static binary, and nothing beside it.
#   docker build -t kvs .
# `make image` makes the same of the second stage and a binary built on the host.

FROM gcc:12-bookworm AS build
WORKDIR /src
COPY Makefile *.c *.h ./
RUN make -s VARIANT=static all && mkdir -p /image/data && cp build/static/kvs /image/

FROM scratch
COPY --from=build /image/kvs /kvs
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
ENV DATA_DIR=/data
VOLUME /data
EXPOSE 8090
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 CMD ["/kvs", "--health"]
ENTRYPOINT ["/kvs"]
