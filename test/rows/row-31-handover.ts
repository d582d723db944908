import type { Row } from '../helpers/rows.ts'

const later = 'there is no handover yet'

export default {
  number: 31,
  situation: 'the successor crashes, hangs or cannot bind during a handover',
  expected: 'the old process keeps serving, nothing lost, a clear error',
  notOn: { http: later, https: later, h2c: later, h2: later, allowHTTP1: later }
} satisfies Row
