#!/usr/bin/env bash
# Health check of a TWS API server (IB Gateway, TWS, the paper gateway): shake hands as a client does, and succeed
# only when the server names its accounts. An open port proves nothing: IB Gateway's is open before its login.
#
#   handshake.sh HOST PORT [CLIENT_ID]
#
# Needs bash and coreutils only, since that is what the image of IB Gateway has. The client id must be nobody else's.
set -uo pipefail

host=$1
port=$2
client_id=${3:-9999}
patience=${HANDSHAKE_PATIENCE_SECONDS:-8}
longest_frame=1048576
frames_to_read=100

fail() {
    echo "$host:$port $1" >&2
    exit 1
}

# Print the next frame's fields, each followed by "|".
read_frame() {
    local bytes length
    mapfile -t bytes < <(timeout "$patience" head -c 4 <&3 | od -An -v -w1 -tu1 | tr -d ' ')
    ((${#bytes[@]} == 4)) || fail "$1"
    length=$((bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3]))
    ((length > 0 && length <= longest_frame)) || fail "is no TWS API server"
    timeout "$patience" head -c "$length" <&3 | tr '\000' '|' || fail "stopped in the middle of a message"
}

# Send the arguments as the fields of one frame.
send_frame() {
    local field length=0 text=''
    for field in "$@"; do
        length=$((length + ${#field} + 1))
        text+="$field\\000"
    done
    # shellcheck disable=SC2059 # the format holds the escapes
    printf "\\000\\000\\x$(printf %02x $((length >> 8)))\\x$(printf %02x $((length & 255)))$text" >&3
}

{ exec 3<>"/dev/tcp/$host/$port"; } 2>/dev/null || fail "does not answer"

printf 'API\000\000\000\000\011v157..176' >&3
greeting=$(read_frame "does not speak the TWS API") || exit 1
[[ $greeting =~ ^[0-9]+\| ]] || fail "is no TWS API server"

send_frame 71 2 "$client_id" ''
for ((i = 0; i < frames_to_read; i++)); do
    frame=$(read_frame "shook hands but did not name its accounts: it is not logged in") || exit 1
    if [[ $frame == "15|1|"?* ]]; then
        echo "$host:$port serves ${frame:5:-1}"
        exit 0
    fi
done
fail "talks, but does not name its accounts"
