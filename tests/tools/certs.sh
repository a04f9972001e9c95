#!/bin/sh
# Certificates for tests, EC P-256, valid two days: certs.sh DIR. Nothing when DIR has them already. All keys are throw-away.
#   ca, other_ca    two CAs; NAME.pem and NAME.key for each of:
#   server          localhost, 127.0.0.1, ::1 by ca     server2     the same, renewed        chain     by an intermediate, which stands behind it
#   wrong_name      by ca, for wrong.example            expired     by ca, over since 2021   self      signed by itself
#   stranger        for localhost by other_ca           client, client_other   for clients, by ca and other_ca
#   encrypted.key   server.key with a password
set -eu
dir=${1:?usage: certs.sh DIR}
[ -e "$dir/.complete" ] && exit 0
mkdir -p "$dir"
cd "$dir"
days='-days 2'

authority() { # name subject
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes $days -subj "/CN=$2" -keyout "$1.key" -out "$1.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
}
signed() { # name by names [more openssl x509 arguments]
  name=$1 by=$2 names=$3; shift 3
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr" 2>/dev/null
  printf 'subjectAltName=%s\n' "$names" >"$name.ext"
  openssl x509 -req -in "$name.csr" -CA "$by.pem" -CAkey "$by.key" -CAcreateserial -extfile "$name.ext" $days -out "$name.pem" "$@" 2>/dev/null
  rm -f "$name.csr" "$name.ext"
}
# openssl x509 of OpenSSL 3.0 dates from now on: for one that is over, `openssl ca` is asked.
over() { # name by names
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  : >index; echo 77 >serial
  printf '[ca]\ndefault_ca=c\n[c]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=%s\n' "$3" >over.cnf
  openssl ca -batch -config over.cnf -in "$1.csr" -cert "$2.pem" -keyfile "$2.key" -startdate 20200101000000Z -enddate 20210101000000Z -notext -out "$1.pem" 2>/dev/null
  rm -f "$1.csr" over.cnf index* serial* 77.pem
}

here=DNS:localhost,IP:127.0.0.1,IP:::1
authority ca "weir test CA"
authority other_ca "another CA"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes $days -subj /CN=localhost -addext subjectAltName=$here -keyout self.key -out self.pem 2>/dev/null
signed server ca $here
signed server2 ca $here
signed wrong_name ca DNS:wrong.example
signed stranger other_ca $here
signed client ca DNS:client
signed client_other other_ca DNS:client
over expired ca $here
# An intermediate, and a leaf below it.
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=intermediate -keyout middle.key -out middle.csr 2>/dev/null
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n' >middle.ext
openssl x509 -req -in middle.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile middle.ext $days -out middle.pem 2>/dev/null
signed chain middle $here
cat middle.pem >>chain.pem
openssl pkey -in server.key -aes256 -passout pass:secret -out encrypted.key
touch .complete
