import type { Row } from '../helpers/rows.ts'

const file = 'test/hard-stop-reset.test.ts'

export default {
  number: 29,
  situation: 'RST wanted while our shutdown is still pending',
  expected: 'RST on the wire',
  elsewhere: { http: file, https: file, h2c: file, h2: file },
  notOn: { allowHTTP1: 'the socket is that of h2, the parser that of https' }
} satisfies Row
