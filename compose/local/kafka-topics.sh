#!/bin/bash
# kafka-topics.sh of the stand-in for the image apache/kafka.
# shellcheck disable=SC2086 # several options
exec java ${KAFKA_HEAP_OPTS:-} -cp '/opt/kafka/libs/*' org.apache.kafka.tools.TopicCommand "$@"
