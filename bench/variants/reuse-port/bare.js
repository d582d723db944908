import { listenWithReusePort } from '../../lib/reuse-port-socket.js'
import { install } from '../bare.js'

/** SO_REUSEPORT, and Fastify as most people stop it. */
export { install, listenWithReusePort as listen }
