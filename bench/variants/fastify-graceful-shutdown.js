import gracefulShutdown from 'fastify-graceful-shutdown'

/** README, "Register plugin". */
export function install (app) {
  app.register(gracefulShutdown)
}
