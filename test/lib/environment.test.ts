import t from 'tap'
import { ownVariables } from '../../lib/environment.ts'

t.test('the variables are there, and nothing of Object.prototype', async t => {
  Object.assign(Object.prototype, { POLLUTED: 'yes' })
  t.teardown(() => { Reflect.deleteProperty(Object.prototype, 'POLLUTED') })
  t.equal(process.env['POLLUTED'], 'yes', 'as it is without')
  const own = ownVariables({ PATH: '/bin' })
  t.equal(own['PATH'], '/bin')
  t.equal(own['POLLUTED'], undefined)
  t.equal(ownVariables(process.env)['POLLUTED'], undefined)
})
