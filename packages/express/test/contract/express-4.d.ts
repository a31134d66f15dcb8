/** Express 4, under another name beside version 5. */
declare module 'express-4' {
  const express: unknown
  export default express
}
