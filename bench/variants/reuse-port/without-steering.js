import { listenWithReusePort } from '../../lib/reuse-port-socket.js'
import { install } from '../fastify-drain.js'

/** The plugin does not know that the port is shared: it accepts until nobody comes, and closes. */
export { install, listenWithReusePort as listen }
