// Sends the one form of the page on. Without scripts its button does.
document.getElementById("post").submit();
