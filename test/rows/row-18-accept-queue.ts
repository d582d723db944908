import type { Row } from '../helpers/rows.ts'

const below = 'the accept queue lies below HTTP and TLS: see http'

export default {
  number: 18,
  situation: 'accept queue full at listener close',
  expected: 'shared descriptor or steering: 0 lost',
  elsewhere: { http: 'test/reuse-port.test.ts' },
  notOn: { https: below, h2c: below, h2: below, allowHTTP1: below }
} satisfies Row
