import { type Html, html } from './html.ts'

/** A complete page. `/base.css` is the style sheet of this package, `/style.css` that of the application. */
export function htmlDocument(title: string, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>${title}</title>
  <link rel="icon" href="/favicon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/base.css">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  ${body}
</body>
</html>
`.toString()
}
