/** What is published, from the two places where encoders write it. Pure. */

const KEY = /^[\x21-\x7e]{1,256}$/;

export interface PublishedName {
  app: string;
  streamKey: string;
}

/**
 * `app` of connect and the name of publish make up the URL's path, cut where each encoder sees fit: FFmpeg writes all
 * but the last part into `app`, OBS what stands in "server". The first part is the app, the last one the key; an
 * instance between them has no meaning here. Queries are dropped.
 * @returns undefined when there is no key, or one that cannot be
 */
export function publishedName(app: string, name: string): PublishedName | undefined {
  const inApp = parts(app);
  const inName = parts(name);
  const all = [...inApp, ...inName];
  // `rtmp://host/live` alone has no key; `rtmp://host` with a key has no app.
  const streamKey = inName.length > 0 || inApp.length > 1 ? all.at(-1) : undefined;
  if (streamKey === undefined || !KEY.test(streamKey)) return undefined;
  return { app: all.length > 1 ? (all[0] ?? '') : '', streamKey };
}

function parts(path: string): string[] {
  return (path.split('?', 1)[0] ?? '').split('/').filter((part) => part !== '');
}
