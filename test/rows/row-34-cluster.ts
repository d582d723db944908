import type { Row } from '../helpers/rows.ts'

const later = 'cluster workers are not covered yet'

export default {
  number: 34,
  situation: 'cluster worker',
  expected: 'only this worker drains; the primary keeps listening',
  notOn: { http: later, https: later, h2c: later, h2: later, allowHTTP1: later }
} satisfies Row
