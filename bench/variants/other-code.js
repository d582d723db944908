// Loaded, and never used: about as much code as the plugin brings.
import 'undici'

/** Bare Fastify in a process that has loaded something else as well. */
export { install } from './bare.js'
