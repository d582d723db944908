import terminus from '@godaddy/terminus'

/** README, "With express" (any http.Server). It ends the process by sending the signal to itself again. */
export function install (app) {
  terminus.createTerminus(app.server)
}
