export { AppProcess, redisDeadlines, type Variables } from './app-process.ts'
export { type ChromiumOptions, chromiumOptions } from './chromium.ts'
export { eventually } from './eventually.ts'
export { type HttpResponse, Visitor } from './visitor.ts'
