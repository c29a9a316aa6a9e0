#!/bin/sh
echo "{{ not Jinja }}" && apt-get install -y fonts-noto
