import { readFileSync } from 'node:fs'

const read = (name: string): string => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), 'utf8')

/** Key and certificate of localhost, 127.0.0.1 and ::1, valid until 2120. */
export const tlsOptions = { key: read('key.pem'), cert: read('cert.pem') }
