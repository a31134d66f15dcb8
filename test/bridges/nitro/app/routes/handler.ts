import { defineCachedEventHandler } from 'nitropack/runtime'

let renders = 0
export default defineCachedEventHandler(() => `${++renders} of ${process.pid}`, { maxAge: 60 })
