/** The variables of an environment. process.env, like any object, also has what somebody has put into Object.prototype. */
export function ownVariables (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.assign(Object.create(null), env)
}
