/** What the proxies ask. */
export const readinessPath = '/readyz'
