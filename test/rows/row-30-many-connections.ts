import type { Row } from '../helpers/rows.ts'

const same = 'there is one list of connections, whatever they speak: see http'

export default {
  number: 30,
  situation: '10,000 idle connections',
  expected: 'loop stall bounded; no iterator broken by removal',
  elsewhere: { http: 'test/load-idle.test.ts' },
  notOn: { https: same, h2c: same, h2: same, allowHTTP1: same }
} satisfies Row
