// The picture to look into needs a large library: it is put in once the tables stand, and only then.
(window.requestIdleCallback || setTimeout)(() => {
  const place = document.getElementById("interactive"), still = document.getElementById("still");
  place.hidden = false;
  try {
    place.append(document.getElementById("figure").content.cloneNode(true));
    still.hidden = true;
  } catch (error) {
    place.hidden = true; // the still picture shows the same
    console.error(error);
  }
});
