import gracefulShutdown from 'http-graceful-shutdown'

/** README, "Basic Usage". */
export function install (app) {
  gracefulShutdown(app.server)
}
