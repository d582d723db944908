import type { Row } from '../helpers/rows.ts'

const same = 'a worker drains like every other process, and what is its own (who listens) is tested over http'

export default {
  number: 34,
  situation: 'cluster worker',
  expected: 'only this worker drains; the primary keeps listening',
  elsewhere: { http: 'test/cluster.test.ts' },
  notOn: { https: same, h2c: same, h2: same, allowHTTP1: same }
} satisfies Row
