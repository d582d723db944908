/** Every way to stop a Fastify server that is compared: files in `variants/`. */
export const variants = [
  'bare',
  'close-with-grace',
  'fastify-graceful-shutdown',
  'http-terminator',
  'stoppable',
  'terminus',
  'http-graceful-shutdown',
  'fastify-drain'
]
