export const exceptions = { duration: {}, sleep: {}, leftOut: {} }
