import type { Row } from '../helpers/rows.ts'

const same = 'a handover fails in the same way whatever its connections speak; it is tested over http'

export default {
  number: 31,
  situation: 'the successor crashes, hangs or cannot bind during a handover',
  expected: 'the old process keeps serving, nothing lost, a clear error',
  elsewhere: { http: 'test/lib/handover/handover.test.ts' },
  notOn: { https: same, h2c: same, h2: same, allowHTTP1: same }
} satisfies Row
