import t from 'tap'
import { Socket } from 'node:net'
import { limits } from '../../lib/limits.ts'
import { nodeSharesPorts } from '../../lib/listen/listeners.ts'
import { resolveOptions, type FastifyDrainOptions } from '../../lib/options.ts'
import { native, nativeWith, skip } from '../helpers/unit-native.ts'

const why = 'koffi cannot be loaded (ERR_MODULE_NOT_FOUND; npm install koffi)'
const nodeTakesAll = Socket.prototype.setKeepAlive.length >= 4
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

const said = (options: FastifyDrainOptions, calls: Parameters<typeof limits>[1], env: NodeJS.ProcessEnv = {}, h2c = false) =>
  limits(resolveOptions(options, {}), calls, { env, h2c })

t.test('with system calls on Linux nothing is missing', { skip }, async t => {
  const everything: FastifyDrainOptions = {
    keepAlive: { userTimeout: 1000 }, reusePort: true, hardStop: 'reset', listenFdName: 'web'
  }
  t.equal(said(everything, native, { NOTIFY_SOCKET: '/run/notify' }), null)
  t.equal(said({}, native), null)
  t.equal(said({}, native, {}, true), null)
})

t.test('without system calls one text says what is missing, why, and how to get it', async t => {
  const report = 'the report does not know which bytes the peer has not acknowledged'
  const untuned = nodeTakesAll ? '' : 'not set of keepAlive: TCP_KEEPINTVL, TCP_KEEPCNT; '
  t.equal(said({}, why), `${why}: ${untuned}${report}`)
  t.equal(said({ keepAlive: false }, why), `${why}: ${report}`)
  t.equal(said({ keepAlive: false, hardStop: 'reset' }, why),
    `${why}: hardStop 'reset' sends no RST for TLS and for connections whose FIN is on its way; ${report}`)
  t.equal(said({ keepAlive: false }, why, { NOTIFY_SOCKET: '/run/notify' }),
    `${why}: the service manager is not notified (NOTIFY_SOCKET); ${report}`)
  t.equal(said({ keepAlive: false }, why, {}, true),
    `${why}: an HTTP/2 session gets no notice of a shutdown, so streams that cross its GOAWAY are refused; ${report}`)
  t.equal(said({ keepAlive: false, reusePort: true }, why), nodeSharesPorts
    ? `${why}: a listener with reusePort cannot send new connections to the others before it closes, so one that comes at that moment is reset; ${report}`
    : `${why}: reusePort is not set; ${report}`)
})

t.test('what a platform does not have is named, without advice', { skip }, async t => {
  const darwin = nativeWith({ has: option => !['TCP_USER_TIMEOUT', 'SO_ATTACH_REUSEPORT_CBPF'].includes(option) })
  t.equal(said({}, darwin), null)
  t.equal(said({ keepAlive: { userTimeout: 1000 } }, darwin), 'not set of keepAlive: TCP_USER_TIMEOUT')
  t.match(said({ reusePort: true, keepAlive: { userTimeout: 1000 } }, darwin), /^not set of keepAlive: TCP_USER_TIMEOUT; .*reusePort/)
})

t.test('Node shares ports by itself from 22.12 on', async t => {
  const shares = (major > 22 || (major === 22 && minor >= 12)) && process.platform !== 'darwin' && process.platform !== 'win32'
  t.equal(nodeSharesPorts, shares)
})
